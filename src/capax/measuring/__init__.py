"""What this machine and networks on it cost: counted, estimated, and measured by the clock."""
