"""The sections of the report page: one module each, with its template beside it. See `report.section`."""
