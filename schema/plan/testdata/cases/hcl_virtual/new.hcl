schema "public" {}
table "runs" {
  schema  = schema.public
  comment = "Training runs."
  column "id" {
    type = integer
    identity { generated = BY_DEFAULT }
  }
  column "started" {
    null = true
    type = timestamptz
  }
  column "ended" {
    null = true
    type = timestamptz
  }
  column "took" {
    null    = true
    type    = interval
    comment = "Ended less started."
    as {
      expr = "ended - started"
      type = VIRTUAL
    }
  }
  primary_key { columns = [column.id] }
  index "runs_started" {
    on {
      column = column.started
      desc   = true
    }
  }
}
