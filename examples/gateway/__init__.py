"""An auth server, a gateway and two services behind it: see README.md."""
