#!/usr/bin/env python3
"""A stand-in for adb: answers as a real one does, as the JSON file in FAKE_ADB says.

`state`: of `adb devices`; `push`, `run`: what those give (text, exit code); `props`, `battery`,
`thermal`: what the phone says; `watts`: [current uA, voltage uV] while idle and while running.
Every call is appended to the log beside it.
"""

import json
import os
import pathlib
import shutil
import sys
import time

CONFIG = pathlib.Path(os.environ["FAKE_ADB"])
STATE = CONFIG.parent / "phone"
config = json.loads(CONFIG.read_text())
words = sys.argv[1:]
with open(CONFIG.parent / "log.txt", "a") as log:
    log.write(json.dumps(words) + "\n")


def answer(text, code=0):
    sys.stdout.write(text)
    sys.stdout.flush()
    raise SystemExit(code)


def local(path):
    return STATE / path.lstrip("/")


if words == ["devices"]:
    lines = [f"{serial}\t{state}" for serial, state in config["state"].items()]
    answer("List of devices attached\n" + "\n".join(lines) + "\n\n")
assert words[0] == "-s", words
_, serial, verb, *rest = words
if verb == "push":
    text, code = config.get("push", ["1 file pushed, 0 skipped.\n", 0])
    if not code:
        local(rest[1]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(rest[0], local(rest[1]))
    answer(text, code)
command = rest[0]
if "echo yes" in command:
    path = command.split("test -f ")[1].split(" ")[0]
    answer("yes\n" if local(path).exists() else "no\n")
if command.startswith(("mkdir", "chmod")) or "kill $(pidof" in command:
    answer("")
if "pidof" in command:
    answer("4711\n" if (CONFIG.parent / "power_run").exists() else "")
if command.startswith("mv "):
    _, source, target = command.split()
    local(source).rename(local(target))
    answer("")
if command == "getprop":
    answer("".join(f"[{name}]: [{value}]\n" for name, value in config["props"].items()))
if command == "dumpsys battery":
    answer(config["battery"])
if command == "dumpsys thermalservice":
    marker = CONFIG.parent / "ran"
    answer(config["thermal"][1 if marker.exists() else 0])
if command.startswith("cat "):
    running = (CONFIG.parent / "power_run").exists()
    calls = sum("cat /sys" in line for line in (CONFIG.parent / "log.txt").read_text().splitlines())
    current, voltage = config["watts"][1 if running else 0]
    if config.get("gone_after") and calls > config["gone_after"]:
        answer("adb: device 'PHONE1' not found\n", 1)
    answer(f"{current + 1000 * (calls % 3)}\n{voltage}\n")
if "--graph=" in command:
    (CONFIG.parent / "ran").touch()
    if "--min_secs=0 " not in command + " ":
        (CONFIG.parent / "power_run").touch()
        seconds = float(command.split("--min_secs=")[1].split(" ")[0])
        time.sleep(config.get("runs_for", seconds))
    answer(*config["run"])
answer(f"/system/bin/sh: {command}: not found\n", 127)
