"""What is behind the larger commands, apart from how they are typed."""
