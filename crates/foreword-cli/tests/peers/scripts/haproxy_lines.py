"""Reads log lines of HAProxy's form from standard input's file, and prints as JSON what haproxy-log-analysis finds in each."""

import json
import sys

from haproxy.line import Line

NAMES = (
    "ip", "client_ip", "client_port", "frontend_name", "backend_name", "server_name", "status_code", "bytes_read",
    "http_request_method", "http_request_path", "http_request_protocol", "total_time",
)

with open(sys.argv[1], encoding="utf-8") as lines:
    for text in lines:
        line = Line(text.strip())
        found = {name: getattr(line, name, None) for name in NAMES}
        found["valid"] = line.is_valid
        found["second"] = line.accept_date.isoformat() if line.is_valid else None
        print(json.dumps(found, default=str))
