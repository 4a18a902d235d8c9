"""Wrong examples of a split as data that the report renders, one module per form of prediction."""
