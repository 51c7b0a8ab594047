# Something for every job to do; see matrix_test.go.
env "local" {
  url     = getenv("DATABASE_URL")
  schemas = ["public"]
  schema {
    src = ["file://schema.sql"]
  }
  daemon {
    listen = "127.0.0.1:0"
  }
  partition "ahead" {
    interval = "month"
    ahead    = 2
    schedule = "@hourly"
  }
  partition "spilt" {
    interval = "month"
    ahead    = 1
    schedule = "@hourly"
  }
  partition "whole" {
    interval = "year"
    ahead    = 1
    schedule = "@hourly"
    archive {
      after    = "1 year"
      into     = "whole_archive"
      schedule = "@hourly"
    }
  }
  partition "straddling" {
    interval = "month"
    ahead    = 1
    schedule = "@hourly"
    archive {
      after       = "1 year"
      into        = "straddling_archive"
      schedule    = "@hourly"
      granularity = "row"
    }
  }
  archive "plain" {
    column   = "at"
    after    = "1 year"
    into     = "plain_archive"
    schedule = "@hourly"
  }
  refresh "by_kind" {
    schedule = "@hourly"
  }
  refresh "total" {
    schedule     = "@hourly"
    concurrently = false
  }
  io {
    mode = "observe"
  }
  job "rollup" {
    schedule = "@hourly"
    sql      = "CALL public.roll_up()"
  }
}
