"""What the emulator will do, as data: read from files, told to a tenant call by call, applied to what is sent."""
