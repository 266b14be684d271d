#!/bin/sh
# Make the shop's roles and databases, and give the roles the passwords of .env. The image does it for
# a new cluster. By hand it is to be done again after a restore, or when a password in .env was changed:
#   docker compose exec -u postgres shop-db sh /docker-entrypoint-initdb.d/shop.sh
set -eu

# The image lets nobody take base backups from another container.
replication='host replication backup all scram-sha-256'
grep -qxF "$replication" "$PGDATA/pg_hba.conf" || echo "$replication" >> "$PGDATA/pg_hba.conf"

export PGOPTIONS=--client-min-messages=warning
psql --no-psqlrc --quiet --output /dev/null --set ON_ERROR_STOP=1 \
    --username postgres --dbname postgres <<'SQL'
\getenv orders_password ORDERS_PASSWORD
\getenv inventory_password INVENTORY_PASSWORD
\getenv backup_password BACKUP_PASSWORD

SELECT format('CREATE ROLE %I LOGIN', name) FROM unnest('{orders,inventory,backup}'::text[]) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
SELECT format('CREATE DATABASE %I OWNER %I', name, name)
FROM unnest('{orders,inventory,backup}'::text[]) AS name
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name) \gexec

ALTER ROLE orders PASSWORD :'orders_password';
ALTER ROLE inventory PASSWORD :'inventory_password';
ALTER ROLE backup PASSWORD :'backup_password';

-- each role its own database and no other; that of backups reads all and changes nothing
REVOKE ALL ON DATABASE orders, inventory, backup, postgres, template1 FROM PUBLIC;
ALTER ROLE backup REPLICATION;
\connect backup
GRANT pg_read_all_data, pg_monitor TO backup;
GRANT EXECUTE ON FUNCTION pg_switch_wal() TO backup;
GRANT CONNECT ON DATABASE orders TO backup;
GRANT CONNECT ON DATABASE inventory TO backup;
GRANT CONNECT ON DATABASE backup TO backup;
SELECT pg_reload_conf();
SQL
