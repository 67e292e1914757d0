#!/bin/sh
# Installs the independent tools that tests of the wire use: mbpoll (a Modbus client), tshark (dissector), socat (serial
# line without hardware). For Debian and Ubuntu; needs the right to install packages. Tests skip what is missing.
set -eu
missing=""
for tool in mbpoll tshark socat; do
    command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
if [ -z "$missing" ]; then
    echo "mbpoll, tshark and socat are there"
    exit 0
fi
run=""
if [ "$(id -u)" -ne 0 ]; then
    run="sudo"
fi
$run apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $run apt-get install -y -qq --no-install-recommends $missing
echo "installed:$missing"
