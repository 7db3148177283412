"""The operating system and the machine: libraries, devices, signals, threads."""
