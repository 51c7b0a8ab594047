env "local" {
  url     = getenv("DATABASE_URL")
  dev     = getenv("DEV_DATABASE_URL")
  schemas = ["public"]
  schema {
    src = ["file://schema.sql"]
  }
  daemon {
    listen = "127.0.0.1:0"
  }
  partition "events" {
    interval = "month"
    ahead    = 1
    schedule = "@hourly"
    archive {
      after    = "1 year"
      into     = "events_archive"
      schedule = "@hourly"
    }
  }
  refresh "mv" {
    schedule = "@hourly"
    when     = "always"
  }
  job "work" {
    schedule = "@hourly"
    sql      = "CALL public.work()"
  }
  check "knobs" {
    sql     = "SELECT count(*) FROM public.knobs"
    warning = 100
  }
}
