"""Speed of power flow, environments and training, side by side with the peers that are installed."""
