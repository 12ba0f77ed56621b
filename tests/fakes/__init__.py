"""Stand-ins for what lies outside; each passes the contract suite of the real thing, or stands before a real one."""
