# ruff: noqa: E501  (triggers, as makemigrations writes them)

import uuid

import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="PlainPerson",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("uuid", models.UUIDField(default=uuid.uuid4, unique=True)),
                ("first_name", models.CharField(max_length=200)),
                ("last_name", models.CharField(max_length=200)),
                ("email", models.EmailField(blank=True, max_length=200)),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="TriggeredPerson",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("uuid", models.UUIDField(default=uuid.uuid4, unique=True)),
                ("first_name", models.CharField(max_length=200)),
                ("last_name", models.CharField(max_length=200)),
                ("email", models.EmailField(blank=True, max_length=200)),
            ],
            options={
                "abstract": False,
            },
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="triggeredperson",
            trigger=pgtrigger.compiler.Trigger(
                name="logpipe_benchmarks_triggeredpe_3e2c7e_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    declare="DECLARE logpipe_lanes INTEGER;",
                    func='\n        IF position(\'|benchmarks.triggeredperson:triggered-people|\' in COALESCE(current_setting(\'logpipe.suspended\', true), \'\')\n            || COALESCE(current_setting(\'logpipe.echo\', true), \'\')) = 0 THEN\n            SELECT lanes INTO logpipe_lanes FROM "logpipe_signals_source" WHERE id = 1;\n            IF logpipe_lanes IS NULL THEN\n                RAISE EXCEPTION \'logpipe_signals has no source in this database. Run manage.py migrate logpipe_signals\';\n            END IF;\n            INSERT INTO "logpipe_signals_outboxrow" ("publication", "object_id", "key", "lane", "operation", "payload") SELECT \'benchmarks.triggeredperson:triggered-people\', logpipe_new."id"::text, logpipe_new."uuid"::text, MOD((\'x\' || LEFT(MD5(\'triggered-people:\' || COALESCE(NULLIF(logpipe_new."uuid"::text, \'\'), logpipe_new."id"::text)), 8))::bit(32)::bigint, logpipe_lanes)::smallint, \'upsert\', NULL::bytea FROM logpipe_new;\n        END IF;\n        RETURN NULL;',
                    hash="b5bcdb3dce3d67ae541fc58fbfa6c7df02ee0adc",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_logpipe_benchmarks_triggeredpe_3e2c7e_insert_497bb",
                    referencing="REFERENCING NEW TABLE AS logpipe_new ",
                    table="benchmarks_triggeredperson",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="triggeredperson",
            trigger=pgtrigger.compiler.Trigger(
                name="logpipe_benchmarks_triggeredpe_3e2c7e_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    declare="DECLARE logpipe_lanes INTEGER;",
                    func='\n        IF position(\'|benchmarks.triggeredperson:triggered-people|\' in COALESCE(current_setting(\'logpipe.suspended\', true), \'\')\n            || COALESCE(current_setting(\'logpipe.echo\', true), \'\')) = 0 THEN\n            SELECT lanes INTO logpipe_lanes FROM "logpipe_signals_source" WHERE id = 1;\n            IF logpipe_lanes IS NULL THEN\n                RAISE EXCEPTION \'logpipe_signals has no source in this database. Run manage.py migrate logpipe_signals\';\n            END IF;\n            INSERT INTO "logpipe_signals_outboxrow" ("publication", "object_id", "key", "lane", "operation", "payload") SELECT \'benchmarks.triggeredperson:triggered-people\', logpipe_old."id"::text, logpipe_old."uuid"::text, MOD((\'x\' || LEFT(MD5(\'triggered-people:\' || COALESCE(NULLIF(logpipe_old."uuid"::text, \'\'), logpipe_old."id"::text)), 8))::bit(32)::bigint, logpipe_lanes)::smallint, \'retract\', convert_to(jsonb_build_object(\'person/1\', jsonb_build_object(\'uuid\', logpipe_old."uuid"::text))::text, \'UTF8\') FROM logpipe_old JOIN logpipe_new ON logpipe_old."id" = logpipe_new."id" WHERE logpipe_old."uuid" <> logpipe_new."uuid" UNION ALL SELECT \'benchmarks.triggeredperson:triggered-people\', logpipe_new."id"::text, logpipe_new."uuid"::text, MOD((\'x\' || LEFT(MD5(\'triggered-people:\' || COALESCE(NULLIF(logpipe_new."uuid"::text, \'\'), logpipe_new."id"::text)), 8))::bit(32)::bigint, logpipe_lanes)::smallint, \'upsert\', NULL::bytea FROM logpipe_new UNION ALL SELECT \'benchmarks.triggeredperson:triggered-people\', logpipe_old."id"::text, logpipe_old."uuid"::text, MOD((\'x\' || LEFT(MD5(\'triggered-people:\' || COALESCE(NULLIF(logpipe_old."uuid"::text, \'\'), logpipe_old."id"::text)), 8))::bit(32)::bigint, logpipe_lanes)::smallint, \'delete\', convert_to(jsonb_build_object(\'person/1\', jsonb_build_object(\'uuid\', logpipe_old."uuid"::text))::text, \'UTF8\') FROM logpipe_old WHERE NOT EXISTS (SELECT 1 FROM logpipe_new WHERE logpipe_new."id" = logpipe_old."id");\n        END IF;\n        RETURN NULL;',
                    hash="fb791436ee121739509715db3535029370b862e1",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_logpipe_benchmarks_triggeredpe_3e2c7e_update_a04f3",
                    referencing="REFERENCING OLD TABLE AS logpipe_old  NEW TABLE AS logpipe_new ",
                    table="benchmarks_triggeredperson",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="triggeredperson",
            trigger=pgtrigger.compiler.Trigger(
                name="logpipe_benchmarks_triggeredpe_3e2c7e_delete",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    declare="DECLARE logpipe_lanes INTEGER;",
                    func="\n        IF position('|benchmarks.triggeredperson:triggered-people|' in COALESCE(current_setting('logpipe.suspended', true), '')\n            || COALESCE(current_setting('logpipe.echo', true), '')) = 0 THEN\n            SELECT lanes INTO logpipe_lanes FROM \"logpipe_signals_source\" WHERE id = 1;\n            IF logpipe_lanes IS NULL THEN\n                RAISE EXCEPTION 'logpipe_signals has no source in this database. Run manage.py migrate logpipe_signals';\n            END IF;\n            INSERT INTO \"logpipe_signals_outboxrow\" (\"publication\", \"object_id\", \"key\", \"lane\", \"operation\", \"payload\") SELECT 'benchmarks.triggeredperson:triggered-people', logpipe_old.\"id\"::text, logpipe_old.\"uuid\"::text, MOD(('x' || LEFT(MD5('triggered-people:' || COALESCE(NULLIF(logpipe_old.\"uuid\"::text, ''), logpipe_old.\"id\"::text)), 8))::bit(32)::bigint, logpipe_lanes)::smallint, 'delete', convert_to(jsonb_build_object('person/1', jsonb_build_object('uuid', logpipe_old.\"uuid\"::text))::text, 'UTF8') FROM logpipe_old;\n        END IF;\n        RETURN NULL;",
                    hash="40e1b6c504a2e4828d6b7010e68623e74058654e",
                    level="STATEMENT",
                    operation="DELETE",
                    pgid="pgtrigger_logpipe_benchmarks_triggeredpe_3e2c7e_delete_a01dd",
                    referencing="REFERENCING OLD TABLE AS logpipe_old ",
                    table="benchmarks_triggeredperson",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="triggeredperson",
            trigger=pgtrigger.compiler.Trigger(
                name="logpipe_benchmarks_triggeredpe_3e2c7e_truncate",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    declare="DECLARE logpipe_lanes INTEGER;",
                    func="\n        IF position('|benchmarks.triggeredperson:triggered-people|' in COALESCE(current_setting('logpipe.suspended', true), '')\n            || COALESCE(current_setting('logpipe.echo', true), '')) = 0 THEN\n            SELECT lanes INTO logpipe_lanes FROM \"logpipe_signals_source\" WHERE id = 1;\n            IF logpipe_lanes IS NULL THEN\n                RAISE EXCEPTION 'logpipe_signals has no source in this database. Run manage.py migrate logpipe_signals';\n            END IF;\n            INSERT INTO \"logpipe_signals_outboxrow\" (\"publication\", \"object_id\", \"key\", \"lane\", \"operation\", \"payload\") SELECT 'benchmarks.triggeredperson:triggered-people', logpipe_old.\"id\"::text, logpipe_old.\"uuid\"::text, MOD(('x' || LEFT(MD5('triggered-people:' || COALESCE(NULLIF(logpipe_old.\"uuid\"::text, ''), logpipe_old.\"id\"::text)), 8))::bit(32)::bigint, logpipe_lanes)::smallint, 'delete', convert_to(jsonb_build_object('person/1', jsonb_build_object('uuid', logpipe_old.\"uuid\"::text))::text, 'UTF8') FROM \"benchmarks_triggeredperson\" AS logpipe_old;\n        END IF;\n        RETURN NULL;",
                    hash="50b82b81a844dae6a9439d2930213a2de420fc57",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_logpipe_benchmarks_triggeredpe_3e2c7e_truncate_b2056",
                    table="benchmarks_triggeredperson",
                    when="BEFORE",
                ),
            ),
        ),
    ]
