#!/bin/bash
# Carries out the scripts that come by the channel, each up to a line "@@@ run", and sends back what they
# print, with a line "@@@ end CODE" behind it.
exec 3<>@CHANNEL@
script=$(mktemp)
while IFS= read -r line <&3; do
    if [ "$line" != "@@@ run" ]; then
        printf '%s\n' "$line" >>"$script"
        continue
    fi
    bash "$script" >/run/channel.out 2>&1 </dev/null
    code=$?
    { cat /run/channel.out; printf '\n@@@ end %s\n' $code; } >&3
    : >"$script"
done
