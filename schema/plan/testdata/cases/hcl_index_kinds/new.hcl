schema "public" {
}

table "t" {
  schema = schema.public
  column "id" {
    null = true
    type = int
  }
  column "a" {
    null = true
    type = text
  }
  column "doc" {
    null = true
    type = jsonb
  }
  column "n" {
    null = true
    type = int
  }
  index "t_gin" {
    columns = [column.doc]
    type    = GIN
  }
  index "t_hash" {
    columns = [column.a]
    type    = HASH
  }
  index "t_brin" {
    columns        = [column.n]
    type           = BRIN
    page_per_range = 16
  }
  index "t_ops" {
    type = GIN
    on {
      column = column.doc
      ops    = jsonb_path_ops
    }
  }
  index "t_inc" {
    columns = [column.n]
    include = [column.id]
    unique  = true
  }
  index "t_lower" {
    on {
      expr = "lower(a)"
    }
  }
  index "t_part" {
    columns = [column.n]
    where   = "(n > 5)"
  }
}
