"""A format: YAML would do as well."""

import json


class LinesRenderer:
    def render(self, data):
        return b"\n".join(f"{name}={json.dumps(value)}".encode() for name, value in data.items())


class LinesParser:
    def parse(self, stream):
        pairs = (line.decode().split("=", 1) for line in stream.read().splitlines())
        return {name: json.loads(value) for name, value in pairs}
