schema "public" {
}

table "t" {
  schema = schema.public
  column "id" {
    type = int
    identity {
      generated = BY_DEFAULT
      start     = 100
      increment = 5
    }
  }
  primary_key {
    columns = [column.id]
  }
}

table "u" {
  schema = schema.public
  column "id" {
    type = bigint
    identity {
      generated = BY_DEFAULT
    }
  }
  primary_key {
    columns = [column.id]
  }
}
