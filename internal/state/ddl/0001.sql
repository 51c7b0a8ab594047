-- Version 1 of the schema pgtender. A later version is a further file: this one is never edited after a release.

CREATE TABLE pgtender.version (
    version    integer     PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE pgtender.version IS 'The versions of this schema that were installed; the highest is the present one.';
COMMENT ON COLUMN pgtender.version.version IS 'Number of the version, from 1.';
COMMENT ON COLUMN pgtender.version.created_at IS 'When it was installed.';

-- The run ledger -----------------------------------------------------------------------------------

CREATE TABLE pgtender.run (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job           text        NOT NULL,
    target        text        NOT NULL DEFAULT '',
    trigger       text        NOT NULL CHECK (trigger IN ('schedule', 'catch-up', 'start', 'manual')),
    scheduled_for timestamptz,
    started_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at   timestamptz,
    outcome       text        CHECK (outcome IN ('success', 'noop', 'skipped', 'failure')),
    summary       text        NOT NULL DEFAULT '',
    error         text,
    detail        jsonb       NOT NULL DEFAULT '{}',
    covered_until timestamptz,
    instance      text        NOT NULL DEFAULT '',
    backend_pid   integer,
    backend_start timestamptz,
    CHECK ((outcome IS NULL) = (finished_at IS NULL)),
    CHECK (trigger = 'manual' OR scheduled_for IS NOT NULL)
);
COMMENT ON TABLE pgtender.run IS 'The run ledger: one row for each run of a job on a target, written before the work and completed after it, or in the same transaction as the work.';
COMMENT ON COLUMN pgtender.run.id IS 'Number of the run. While it goes on, its session holds the advisory lock of that number.';
COMMENT ON COLUMN pgtender.run.job IS 'partition, archive, refresh, io, analyze, drift, or the name of an own job.';
COMMENT ON COLUMN pgtender.run.target IS 'The object, schema.name; empty for a job that has one target only.';
COMMENT ON COLUMN pgtender.run.trigger IS 'schedule: on time; catch-up: a scheduled time had passed while no daemon ran; start: leadership began; manual: asked for by a person.';
COMMENT ON COLUMN pgtender.run.scheduled_for IS 'The scheduled time that this run serves, by the daemon''s clock; for a catch-up the latest one missed.';
COMMENT ON COLUMN pgtender.run.started_at IS 'When the run began, by the server''s clock.';
COMMENT ON COLUMN pgtender.run.finished_at IS 'When the run ended, by the server''s clock; null while it goes on.';
COMMENT ON COLUMN pgtender.run.outcome IS 'success: something was changed; noop: nothing was to do; skipped: needless, or not possible now without harm; failure. Null while the run goes on.';
COMMENT ON COLUMN pgtender.run.summary IS 'What was done, in one line.';
COMMENT ON COLUMN pgtender.run.error IS 'Why it did not succeed.';
COMMENT ON COLUMN pgtender.run.detail IS 'Figures of the job.';
COMMENT ON COLUMN pgtender.run.covered_until IS 'Scheduled times up to this one need no other run. Null when the run was interrupted, or did not come to run.';
COMMENT ON COLUMN pgtender.run.instance IS 'The process that ran it: host/pid/start.';
COMMENT ON COLUMN pgtender.run.backend_pid IS 'Server process of the session that held the run''s locks.';
COMMENT ON COLUMN pgtender.run.backend_start IS 'When that session began.';

CREATE INDEX run_of_target ON pgtender.run (job, target, id DESC) WHERE outcome IS NOT NULL;
CREATE INDEX run_good ON pgtender.run (job, target, id DESC) WHERE outcome <> 'failure' AND covered_until IS NOT NULL;
CREATE INDEX run_covered ON pgtender.run (job, target, covered_until DESC) WHERE covered_until IS NOT NULL;
CREATE INDEX run_going_on ON pgtender.run (id) WHERE outcome IS NULL;
CREATE INDEX run_finished ON pgtender.run (finished_at);
COMMENT ON INDEX pgtender.run_of_target IS 'The last run of each job and target.';
COMMENT ON INDEX pgtender.run_good IS 'The last run of each job and target that ended well.';
COMMENT ON INDEX pgtender.run_covered IS 'Up to when the schedule of each job and target is served.';
COMMENT ON INDEX pgtender.run_going_on IS 'Runs going on, and those that a dead process left.';
COMMENT ON INDEX pgtender.run_finished IS 'For pruning.';

-- The archive --------------------------------------------------------------------------------------

CREATE TABLE pgtender.archived_partition (
    id               bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    live_schema      text        NOT NULL,
    live_table       text        NOT NULL,
    archive_schema   text        NOT NULL,
    archive_table    text        NOT NULL,
    partition_schema text        NOT NULL,
    partition_name   text        NOT NULL,
    kind             text        NOT NULL DEFAULT 'partition' CHECK (kind IN ('partition', 'rows')),
    lower_bound      text,
    upper_bound      text,
    lower_at         timestamptz,
    upper_at         timestamptz,
    rows             bigint,
    rows_exact       boolean     NOT NULL DEFAULT false,
    bytes            bigint,
    run_id           bigint,
    moved_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    gone_at          timestamptz,
    gone_how         text        CHECK (gone_how IN ('restored', 'dropped')),
    detail           jsonb       NOT NULL DEFAULT '{}',
    CHECK ((gone_at IS NULL) = (gone_how IS NULL))
);
COMMENT ON TABLE pgtender.archived_partition IS 'What was moved from a live table into its archive: a row for each move, committed with the move.';
COMMENT ON COLUMN pgtender.archived_partition.id IS 'Number of the move.';
COMMENT ON COLUMN pgtender.archived_partition.live_schema IS 'Schema of the live table.';
COMMENT ON COLUMN pgtender.archived_partition.live_table IS 'The live table.';
COMMENT ON COLUMN pgtender.archived_partition.archive_schema IS 'Schema of the archive table.';
COMMENT ON COLUMN pgtender.archived_partition.archive_table IS 'The archive table.';
COMMENT ON COLUMN pgtender.archived_partition.partition_schema IS 'Schema of the partition that was moved, or that took the rows.';
COMMENT ON COLUMN pgtender.archived_partition.partition_name IS 'The partition that was moved, or that took the rows.';
COMMENT ON COLUMN pgtender.archived_partition.kind IS 'partition: a whole one changed hands; rows: rows were moved into it.';
COMMENT ON COLUMN pgtender.archived_partition.lower_bound IS 'The partition''s lower bound (inclusive), as the catalog writes it with TimeZone UTC; null: MINVALUE.';
COMMENT ON COLUMN pgtender.archived_partition.upper_bound IS 'The partition''s upper bound (exclusive), as the catalog writes it with TimeZone UTC; null: MAXVALUE.';
COMMENT ON COLUMN pgtender.archived_partition.lower_at IS 'The lower bound as an instant.';
COMMENT ON COLUMN pgtender.archived_partition.upper_at IS 'The upper bound as an instant.';
COMMENT ON COLUMN pgtender.archived_partition.rows IS 'Rows that were moved.';
COMMENT ON COLUMN pgtender.archived_partition.rows_exact IS 'Whether they were counted; otherwise the planner''s estimate.';
COMMENT ON COLUMN pgtender.archived_partition.bytes IS 'Size on disk with indexes and TOAST when it was moved.';
COMMENT ON COLUMN pgtender.archived_partition.run_id IS 'The run in the ledger that moved it; the ledger is pruned, this row is not.';
COMMENT ON COLUMN pgtender.archived_partition.moved_at IS 'When it was moved, by the server''s clock.';
COMMENT ON COLUMN pgtender.archived_partition.gone_at IS 'When it left the archive again.';
COMMENT ON COLUMN pgtender.archived_partition.gone_how IS 'restored: back to the live table; dropped: by retention.';
COMMENT ON COLUMN pgtender.archived_partition.detail IS 'Further figures of the manifest.';

CREATE INDEX archived_partition_of_table ON pgtender.archived_partition (live_schema, live_table, upper_at);
CREATE INDEX archived_partition_name ON pgtender.archived_partition (partition_schema, partition_name);
COMMENT ON INDEX pgtender.archived_partition_of_table IS 'What was archived of a table, in time order.';
COMMENT ON INDEX pgtender.archived_partition_name IS 'The moves of one partition.';

-- Materialised views -------------------------------------------------------------------------------

CREATE TABLE pgtender.refresh_state (
    view_schema  text        NOT NULL,
    view_name    text        NOT NULL,
    view_oid     oid         NOT NULL,
    fingerprint  text,
    counted_at   timestamptz,
    refreshed_at timestamptz,
    checked_at   timestamptz,
    run_id       bigint,
    detail       jsonb       NOT NULL DEFAULT '{}',
    PRIMARY KEY (view_schema, view_name)
);
COMMENT ON TABLE pgtender.refresh_state IS 'What is known of each materialised view since its last refresh: enough to tell whether another is needless.';
COMMENT ON COLUMN pgtender.refresh_state.view_schema IS 'Schema of the view.';
COMMENT ON COLUMN pgtender.refresh_state.view_name IS 'The view.';
COMMENT ON COLUMN pgtender.refresh_state.view_oid IS 'Its oid: another one means that the view was made anew.';
COMMENT ON COLUMN pgtender.refresh_state.fingerprint IS 'Digest of everything the view''s content depends on, read just before the refresh; null: unknown, so refresh.';
COMMENT ON COLUMN pgtender.refresh_state.counted_at IS 'The moment just before the counters in the fingerprint were read.';
COMMENT ON COLUMN pgtender.refresh_state.refreshed_at IS 'When the view was last refreshed by pgtender: the start of the refreshing transaction.';
COMMENT ON COLUMN pgtender.refresh_state.checked_at IS 'When the view was last proved fresh, or refreshed.';
COMMENT ON COLUMN pgtender.refresh_state.run_id IS 'The run in the ledger that refreshed it.';
COMMENT ON COLUMN pgtender.refresh_state.detail IS 'Figures of the last refresh.';

-- Statistics of partitioned tables -----------------------------------------------------------------

CREATE TABLE pgtender.analyze_state (
    table_schema text        NOT NULL,
    table_name   text        NOT NULL,
    table_oid    oid         NOT NULL,
    analyzed_at  timestamptz NOT NULL,
    leaves       jsonb       NOT NULL,
    PRIMARY KEY (table_schema, table_name)
);
COMMENT ON TABLE pgtender.analyze_state IS 'The row counters of the leaves of each partitioned table at its last ANALYZE, from which it follows when the next one is due.';
COMMENT ON COLUMN pgtender.analyze_state.table_schema IS 'Schema of the partitioned table.';
COMMENT ON COLUMN pgtender.analyze_state.table_name IS 'The partitioned table.';
COMMENT ON COLUMN pgtender.analyze_state.table_oid IS 'Its oid: another one means that the table was made anew.';
COMMENT ON COLUMN pgtender.analyze_state.analyzed_at IS 'When it was analysed.';
COMMENT ON COLUMN pgtender.analyze_state.leaves IS 'By oid of the leaf: rows changed since its statistics began, and its rows.';

-- Settings -----------------------------------------------------------------------------------------

CREATE TABLE pgtender.setting_change (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text        NOT NULL,
    scope      text        NOT NULL DEFAULT 'system',
    old_value  text,
    old_source text,
    new_value  text,
    state      text        NOT NULL CHECK (state IN ('recommended', 'begun', 'kept', 'reverted', 'overtaken')),
    reason     text        NOT NULL DEFAULT '',
    detail     jsonb       NOT NULL DEFAULT '{}',
    run_id     bigint,
    made_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at   timestamptz
);
COMMENT ON TABLE pgtender.setting_change IS 'The journal of server settings: written before a setting is changed, so that it can be put back whatever happens.';
COMMENT ON COLUMN pgtender.setting_change.id IS 'Number of the change.';
COMMENT ON COLUMN pgtender.setting_change.name IS 'The setting.';
COMMENT ON COLUMN pgtender.setting_change.scope IS 'system: ALTER SYSTEM.';
COMMENT ON COLUMN pgtender.setting_change.old_value IS 'The value before; null: not set in this scope.';
COMMENT ON COLUMN pgtender.setting_change.old_source IS 'Where the value before came from, as pg_settings says.';
COMMENT ON COLUMN pgtender.setting_change.new_value IS 'The value wanted; null: not set in this scope.';
COMMENT ON COLUMN pgtender.setting_change.state IS 'recommended: said only; begun: about to be, or being tried; kept; reverted; overtaken: somebody else has changed it since.';
COMMENT ON COLUMN pgtender.setting_change.reason IS 'Why, for people.';
COMMENT ON COLUMN pgtender.setting_change.detail IS 'The evidence.';
COMMENT ON COLUMN pgtender.setting_change.run_id IS 'The run in the ledger.';
COMMENT ON COLUMN pgtender.setting_change.made_at IS 'When this row was written.';
COMMENT ON COLUMN pgtender.setting_change.ended_at IS 'When its state became final.';

CREATE INDEX setting_change_name ON pgtender.setting_change (name, id DESC);
CREATE INDEX setting_change_open ON pgtender.setting_change (id) WHERE state = 'begun';
COMMENT ON INDEX pgtender.setting_change_name IS 'The history of a setting.';
COMMENT ON INDEX pgtender.setting_change_open IS 'Changes to be kept or put back.';

-- Applied plans ------------------------------------------------------------------------------------

CREATE TABLE pgtender.applied_plan (
    id               bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash             text        NOT NULL,
    from_fingerprint text        NOT NULL,
    to_fingerprint   text        NOT NULL,
    statements       integer     NOT NULL,
    allowed_hazards  text[]      NOT NULL DEFAULT '{}',
    state            text        NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'failed', 'abandoned')),
    error            text,
    applied_by       text        NOT NULL DEFAULT session_user,
    instance         text        NOT NULL DEFAULT '',
    started_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at      timestamptz,
    detail           jsonb       NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE pgtender.applied_plan IS 'The journal of schema changes: one row for each plan that was begun.';
COMMENT ON COLUMN pgtender.applied_plan.id IS 'Number of the application.';
COMMENT ON COLUMN pgtender.applied_plan.hash IS 'Hash of the plan.';
COMMENT ON COLUMN pgtender.applied_plan.from_fingerprint IS 'Fingerprint of the schema that the plan was made for.';
COMMENT ON COLUMN pgtender.applied_plan.to_fingerprint IS 'Fingerprint of the schema that it leads to.';
COMMENT ON COLUMN pgtender.applied_plan.statements IS 'How many statements it has.';
COMMENT ON COLUMN pgtender.applied_plan.allowed_hazards IS 'The hazards that were allowed.';
COMMENT ON COLUMN pgtender.applied_plan.state IS 'running (or killed); done: applied and verified; failed; abandoned: another plan took its place.';
COMMENT ON COLUMN pgtender.applied_plan.error IS 'Why it failed.';
COMMENT ON COLUMN pgtender.applied_plan.applied_by IS 'The role that applied it.';
COMMENT ON COLUMN pgtender.applied_plan.instance IS 'The process that applied it.';
COMMENT ON COLUMN pgtender.applied_plan.started_at IS 'When it began.';
COMMENT ON COLUMN pgtender.applied_plan.finished_at IS 'When it ended; null while it runs, or when it was killed.';
COMMENT ON COLUMN pgtender.applied_plan.detail IS 'What else is known of it.';

CREATE INDEX applied_plan_hash ON pgtender.applied_plan (hash, id DESC);
CREATE INDEX applied_plan_started ON pgtender.applied_plan (started_at DESC);
COMMENT ON INDEX pgtender.applied_plan_hash IS 'Whether a plan was begun before.';
COMMENT ON INDEX pgtender.applied_plan_started IS 'The last applications.';

CREATE TABLE pgtender.applied_statement (
    plan_id     bigint      NOT NULL REFERENCES pgtender.applied_plan ON DELETE CASCADE,
    position    integer     NOT NULL,
    sql         text        NOT NULL,
    state       text        NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'running', 'done', 'failed')),
    attempts    integer     NOT NULL DEFAULT 0,
    started_at  timestamptz,
    finished_at timestamptz,
    error       text,
    PRIMARY KEY (plan_id, position)
);
COMMENT ON TABLE pgtender.applied_statement IS 'The statements of each plan that was begun, and how far it came.';
COMMENT ON COLUMN pgtender.applied_statement.plan_id IS 'The plan.';
COMMENT ON COLUMN pgtender.applied_statement.position IS 'Place in the plan, from 1.';
COMMENT ON COLUMN pgtender.applied_statement.sql IS 'The statement.';
COMMENT ON COLUMN pgtender.applied_statement.state IS 'pending, running (or killed), done, failed.';
COMMENT ON COLUMN pgtender.applied_statement.attempts IS 'How often it was begun: a statement that meets a lock is tried again.';
COMMENT ON COLUMN pgtender.applied_statement.started_at IS 'When it was begun last.';
COMMENT ON COLUMN pgtender.applied_statement.finished_at IS 'When it ended.';
COMMENT ON COLUMN pgtender.applied_statement.error IS 'What the server said.';
