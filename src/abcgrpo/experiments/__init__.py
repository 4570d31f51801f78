"""Many training runs, compared: arms × conditions × seeds from one base, on this machine or on several."""
