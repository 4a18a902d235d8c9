"""Training on several processes: launching, communication, FSDP2 and ZeRO."""
