"""What the operating system and the machine offer: libraries, devices, signals, threads."""
