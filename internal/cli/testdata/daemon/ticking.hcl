env "local" {
  url     = getenv("DATABASE_URL")
  schemas = ["public"]
  schema {
    src = ["file://schema.sql"]
  }
  daemon {
    listen = "127.0.0.1:0"
  }
  job "tick" {
    schedule = "@every 1s"
    sql      = "INSERT INTO public.work_done DEFAULT VALUES"
  }
}
