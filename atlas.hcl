# The registry of AI models: where it is, what it looks like, and how it is kept.
# Every block and attribute is explained in docs/configuration.md. The official atlas CLI reads this
# file too; it passes over the blocks that are pgtender's.

variable "url" {
  type        = string
  default     = getenv("DATABASE_URL")
  description = "the database, for example postgres://user@host:5432/registry"
}

env "local" {
  url     = var.url
  dev     = getenv("DEV_DATABASE_URL") # where scratch databases may be made; empty: the target's server
  schemas = ["public"]

  schema {
    src = ["file://schema/registry"]
  }

  daemon {
    listen    = "127.0.0.1:9818"
    time_zone = "UTC" # of schedules and month boundaries
    apply     = "safe"
    history   = "90 days"
  }

  partition "training_records" {
    interval = "month"
    ahead    = 3
    schedule = "@hourly"
    archive {
      after       = "1 year"
      into        = "training_records_archive"
      schedule    = "30 3 * * *"
      granularity = "partition"
    }
  }

  partition "inference_requests" {
    interval = "month"
    ahead    = 3
    schedule = "@hourly"
    archive {
      after       = "1 year"
      into        = "inference_requests_archive"
      schedule    = "40 3 * * *"
      granularity = "partition"
    }
  }

  # Tables that are not partitioned: their old rows move in batches, into archives that are not partitioned either.
  archive "training_runs" {
    column   = "started_at" # a run that never began stays
    after    = "1 year"
    into     = "training_runs_archive"
    schedule = "50 3 * * *"
  }

  archive "model_evaluations" {
    column   = "evaluated_at"
    after    = "1 year"
    into     = "model_evaluations_archive"
    schedule = "45 3 * * *"
  }

  refresh "mv_model_performance_summary" {
    schedule      = "*/5 * * * *"
    when          = "auto"
    max_staleness = "1 hour"
  }

  refresh "mv_model_metrics" {
    schedule      = "*/5 * * * *"
    when          = "auto"
    max_staleness = "1 hour"
  }

  io {
    mode     = "recommend"
    schedule = "@hourly"
  }

  job "rollup_deployments" {
    schedule = "*/5 * * * *"
    sql      = "CALL roll_up_deployments()"
    timeout  = "2 minutes"
  }

  # The share of requests of the last hour that failed, for each deployment that had any.
  check "inference_errors" {
    sql      = <<-SQL
      SELECT 'deployment ' || deployment_id,
             (count(*) FILTER (WHERE status <> 'success'))::float8 / count(*)
      FROM public.inference_requests
      WHERE created_at >= now() - interval '1 hour'
      GROUP BY deployment_id
      HAVING count(*) >= 10   -- fewer prove nothing
      ORDER BY deployment_id
    SQL
    warning  = 0.05
    critical = 0.20
  }
}
