variable "url" {
  type    = string
  default = getenv("DATABASE_URL")
}

env "local" {
  url     = var.url
  dev     = getenv("DEV_DATABASE_URL")       # where scratch databases may be made; default: the target's server
  schemas = ["public"]                       # managed; every other schema is never touched
  exclude = ["public.legacy_*"]              # left alone, and listed as left alone
  schema {
    src = ["file://schema/registry"]         # .hcl and .sql, a file or a folder, in name order
  }

  daemon {
    listen    = "127.0.0.1:9818"
    time_zone = "UTC"                        # cron schedules and month boundaries
    apply     = "safe"                       # on start and on drift: "safe" (no hazard), "off"
    history   = "90 days"                    # of the run ledger
  }

  partition "training_records" {             # optional: schema = "public"
    interval = "month"                       # day, week, month, quarter, year
    ahead    = 3                             # whole intervals after the current one
    schedule = "@hourly"
    archive {
      after       = "1 year"
      into        = "training_records_archive"
      schedule    = "30 3 * * *"
      granularity = "partition"              # or "row": also the old rows of the month that straddles the cut
    }
  }

  archive "model_evaluations" {              # a table that is not partitioned: rows, in batches
    column   = "evaluated_at"
    after    = "1 year"
    into     = "model_evaluations_archive"
    schedule = "45 3 * * *"
  }

  refresh "mv_model_performance_summary" {
    schedule      = "*/5 * * * *"
    when          = "auto"                   # or "always"
    max_staleness = "1 hour"
  }

  io {
    mode     = "recommend"                   # observe, recommend, apply
    schedule = "@hourly"
  }

  job "rollup_deployments" {                 # an own job
    schedule = "*/5 * * * *"
    sql      = "CALL roll_up_deployments()"
    timeout  = "2 minutes"
  }

  check "inference_errors" {                 # an own check: one number, or (object, number) rows
    sql      = "SELECT …"
    warning  = 0.05
    critical = 0.20
  }
}
