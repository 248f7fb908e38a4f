"""What happens, told to programs: the hooks of a campaign or a client, and OpenTelemetry built on them.

The class to derive from is `promomsg.Hooks`; what its methods are told are the classes of
`promomsg.telemetry.hook_events`.
"""
