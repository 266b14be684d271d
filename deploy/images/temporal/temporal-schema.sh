#!/bin/sh
# Create or upgrade the two databases that Temporal keeps its state in.
set -eu
for part in temporal:temporal temporal_visibility:visibility; do
    database=${part%%:*}
    schema=${part##*:}
    sql() {
        temporal-sql-tool --plugin postgres12 --ep temporal-db -p 5432 -u temporal --db "$database" "$@"
    }
    sql create
    sql setup-schema -v 0.0
    sql update-schema -d "/etc/temporal/schema/postgresql/v12/$schema/versioned"
done
