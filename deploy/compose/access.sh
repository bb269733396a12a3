#!/bin/sh
# Brings the access rules of the producers file into force at the Valkey of docker-compose.yml. Run it after every
# `docker compose run --rm coins producer …` that adds, changes, rotates or removes a producer.
set -eu
cd "$(dirname "$0")/../.."
users=deploy/secrets/valkey_users

# The rules as the product writes them: of the producers. The system's own login stays the one of deploy/secrets/.
docker compose run --rm --no-deps --no-TTY coins producer access >&2
rules=$(docker compose run --rm --no-deps --no-TTY --entrypoint cat coins /etc/coinworks/users.acl)
own=$(grep -E '^user (default|coins) ' "$users")
producers=$(printf '%s\n' "$rules" | grep -vE '^user (default|coins) ' || true)

# Written in place: the container has this very file.
printf '%s\n%s\n' "$own" "$producers" | sed '/^$/d' >"$users.new"
cat "$users.new" >"$users"
rm "$users.new"
# shellcheck disable=SC2016 # the container's shell is to read the password
docker compose exec -T valkey sh -c 'REDISCLI_AUTH="$(cat /run/secrets/valkey_password)" valkey-cli --user coins ACL LOAD'
