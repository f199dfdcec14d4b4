"""The settings file as it is written: `config.example.toml`, and what `harvester init` makes.

In:   the table of settings, and the values to set.  Out: TOML text, each setting with its meaning, default and flag,
and at its end how several accounts are written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from harvester.settings import Resolved, Settings, flag_of, table

HEAD = """\
# Settings of harvester. Every line that begins with "# name =" is a setting with its default, or with an example where
# there is none: take away the "# " to set it. A flag (--per-page 50) wins over the environment
# (HARVESTER_PER_PAGE=50), that over this file. The API key does not belong here: put it into a file that only you can
# read, and name that with key_file, or set HARVESTER_API_KEY.
"""

EXAMPLES = {
    "archive": '"/srv/calls"',
    "key_file": '"/etc/harvester/key"',
    "key_command": '"pass show calls/api-key"',
    "from": '"2025-01-01"',
    "to": '"2025-12-31"',
    "status": '["completed", "ended_by_customer"]',
    "type": '"outbound"',
    "phone_number": '"+15551234567"',
    "assistant_id": "12",
    "campaign_id": "34",
    "full_every": '"sunday"',
    "requests_per_minute": "60",
    "workers": "32",
    "processes": "2",
    "bandwidth": '"2M"',
    "max_file_size": '"2G"',
    "recording_host": '["recordings.example.com"]',
    "seal_ssh_key": '"/etc/harvester/seal_key"',
    "seal_tsa_url": '"https://tsa.example.com/rfc3161"',
    "seal_tsa_ca": '"/etc/harvester/tsa-root.pem"',
    "min_free": '"5G"',
    "state_folder": '"/var/lib/harvester"',
    "checkpoint": '"/var/lib/harvester/checkpoint.db"',
    "operator": '"Ada Lovelace, records office"',
    "case": '"2026-0042"',
    "reason": '"litigation hold of 2 March"',
    "limit": "100",
    "report_json": '"/var/log/harvester/run.json"',
}
"""A value to show for each setting that has none by default."""


ACCOUNTS = """\
# Several accounts, which a command goes through one after the other in this order (or only those that --account names): each
# begins with [[account]], has a name, and an archive and a key of its own (key_file or key_command: HARVESTER_API_KEY is not
# asked). Any setting above may stand in its table and wins over the one above; but archive, key_file, key_command and
# checkpoint then stand in the tables alone, and report_json and all from json on stand above them alone. What is written
# below a [[account]] belongs to it, so these tables come last.

# [[account]]
# name = "sales"
# archive = "/srv/calls/sales"
# key_file = "/etc/harvester/sales.key"
# type = "outbound"

# [[account]]
# name = "support"
# archive = "/srv/calls/support"
# key_command = "pass show calls/support"
# requests_per_minute = 30
"""


def settings_file(chosen: Mapping[str, object]) -> str:
    """Return a settings file in which `chosen` is set and every other setting stands as a comment."""
    defaults = Resolved(settings=Settings(), sources={})
    lines = [HEAD]
    for name, (field, setting) in table().items():
        value = getattr(defaults.settings, field)
        unset = value is None or value == ()
        default = setting.default_text or ("not set" if unset else defaults.text_of(name))
        lines.append(f"# {setting.help} (flag {flag_of(name)}; default: {default})")
        if name in chosen:
            lines.append(f"{name} = {toml(chosen[name])}\n")
        else:
            lines.append(f"# {name} = {EXAMPLES[name] if unset else toml(value)}\n")
    return "\n".join([*lines, ACCOUNTS])


def toml(value: object) -> str:
    """Write one value as TOML: its basic strings are JSON's, but for the one control character that JSON leaves as it is."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value).removesuffix(".0")
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
