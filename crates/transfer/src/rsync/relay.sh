# rsync starts this in place of a remote shell, inside the sandbox. The command that is to run on the server goes out first, each
# part ended by a null byte and the whole by another; then whatever rsync writes and reads. Who is at the pipes' other ends has
# the connection. It ends with what the server says, as a remote shell does: rsync waits for that.
exec 3<down 4>up 5<&0
printf '%s\0' "$@" >&4
printf '\0' >&4
cat <&5 >&4 3<&- 4>&- 5<&- &
exec cat <&3 3<&- 4>&- 5<&-
