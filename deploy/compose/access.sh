#!/bin/sh
# Brings the access rules of the producers file into force at the edge of docker-compose.yml, Valkey or RabbitMQ. Run it
# after every `docker compose run --rm coins producer …` that adds, changes, rotates or removes a producer.
set -eu
cd "$(dirname "$0")/../.."

tool() {
  docker compose run --rm --no-deps --no-TTY "$@"
}

# Exchanges, queues, and a user for each producer. A user that is gone from the file has to be deleted by hand:
# `coins producer remove` says how.
to_rabbitmq() {
  tool coins migrate --definitions - |
    docker compose exec -T rabbitmq sh -c 'cat >/tmp/definitions.json && rabbitmqctl import_definitions /tmp/definitions.json'
}

# The producers' rules as the product writes them; the system's own login stays the one of deploy/secrets/.
to_valkey() {
  users=deploy/secrets/valkey_users
  tool coins producer access >&2
  rules=$(tool --entrypoint cat coins /etc/coinworks/users.acl)
  {
    grep -E '^user (default|coins) ' "$users"
    printf '%s\n' "$rules" | grep -vE '^user (default|coins) ' || true
  } >"$users.new"
  # Written in place: the container has this very file.
  cat "$users.new" >"$users"
  rm "$users.new"
  # shellcheck disable=SC2016 # the container's shell is to read the password
  docker compose exec -T valkey sh -c 'REDISCLI_AUTH="$(cat /run/secrets/valkey_password)" valkey-cli --user coins ACL LOAD'
}

if docker compose config --services | grep -qx rabbitmq; then to_rabbitmq; else to_valkey; fi
