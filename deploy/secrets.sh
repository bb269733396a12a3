#!/bin/sh
# Makes what docker-compose.yml needs and nobody else may know: deploy/secrets/, and .env of deploy/env.example.
# What exists stays as it is: a second run changes nothing. How a password is changed: "Containers" in deploy/README.md.
set -eu
cd "$(dirname "$0")/.."
directory=deploy/secrets

# Only its owner may enter the directory. The files in it are readable, since the processes in the containers, who are other
# users, read them there: compose mounts them as they are.
umask 022
mkdir -p "$directory"
chmod 700 "$directory"

# keep NAME: what comes in is kept as that secret, unless there is one.
keep() {
  if [ -e "$directory/$1" ]; then
    cat >/dev/null
  else
    cat >"$directory/$1.new"
    mv "$directory/$1.new" "$directory/$1"
    echo "made $directory/$1" >&2
  fi
}

password() {
  od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

sha256() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1
}

of() {
  cat "$directory/$1"
}

password | keep postgres_password
printf 'postgresql://coinworks:%s@postgres:5432/coinworks' "$(of postgres_password)" | keep database_url

password | keep valkey_password
printf 'redis://coins:%s@valkey:6379/0' "$(of valkey_password)" | keep redis_url
system="user coins on sanitize-payload #$(of valkey_password | sha256) ~* &* +@all"
keep valkey_users <<EOF
user default off sanitize-payload resetchannels -@all
$system
EOF
# The system's password is another one: its login follows, and producers, whom access.sh has put beside it, keep theirs.
if ! grep -q "^user coins .*#$(of valkey_password | sha256)" "$directory/valkey_users"; then
  users=$(grep -v '^user coins ' "$directory/valkey_users" || true)
  printf '%s\n%s\n' "$users" "$system" >"$directory/valkey_users"
  echo "changed the system's login in $directory/valkey_users" >&2
fi

password | keep rabbitmq_password
# Not called `coins`: that user belongs to the producers file, whose definitions would give it another password.
printf 'amqp://coinworks:%s@rabbitmq:5672/' "$(of rabbitmq_password)" | keep edge_url
keep rabbitmq.conf <<EOF
default_user = coinworks
default_pass = $(of rabbitmq_password)
# The contract has 1 MiB a message.
max_message_size = 2097152
EOF

printf 'smtp://mailpit:1025' | keep smtp_url
password | keep grafana_password

if [ ! -e .env ]; then
  cp deploy/env.example .env
  echo "made .env of deploy/env.example" >&2
fi
