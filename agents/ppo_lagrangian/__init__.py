"""PPO under limits on costs."""
