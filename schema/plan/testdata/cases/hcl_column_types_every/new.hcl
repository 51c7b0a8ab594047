schema "public" {
}

table "t" {
  schema = schema.public
  column "id" {
    type = int
  }
  column "c0" {
    null = true
    type = smallint
  }
  column "c1" {
    null = true
    type = bigint
  }
  column "c2" {
    null = true
    type = numeric(8,2)
  }
  column "c3" {
    null = true
    type = real
  }
  column "c4" {
    null = true
    type = double_precision
  }
  column "c5" {
    null = true
    type = boolean
  }
  column "c6" {
    null = true
    type = text
  }
  column "c7" {
    null = true
    type = varchar(20)
  }
  column "c8" {
    null = true
    type = char(3)
  }
  column "c9" {
    null = true
    type = bytea
  }
  column "c10" {
    null = true
    type = date
  }
  column "c11" {
    null = true
    type = time(3)
  }
  column "c12" {
    null = true
    type = timetz
  }
  column "c13" {
    null = true
    type = timestamp(3)
  }
  column "c14" {
    null = true
    type = timestamptz
  }
  column "c15" {
    null = true
    type = interval
  }
  column "c16" {
    null = true
    type = json
  }
  column "c17" {
    null = true
    type = jsonb
  }
  column "c18" {
    null = true
    type = uuid
  }
  column "c19" {
    null = true
    type = inet
  }
  column "c20" {
    null = true
    type = cidr
  }
  column "c21" {
    null = true
    type = macaddr
  }
  column "c22" {
    null = true
    type = point
  }
  column "c23" {
    null = true
    type = bit(4)
  }
  column "c24" {
    null = true
    type = bit_varying(8)
  }
  column "c25" {
    null = true
    type = tsvector
  }
  column "c26" {
    null = true
    type = tsquery
  }
  column "c27" {
    null = true
    type = xml
  }
  column "c28" {
    null = true
    type = money
  }
  column "c29" {
    null = true
    type = sql("int4range")
  }
  column "c30" {
    null = true
    type = sql("text[]")
  }
  column "c31" {
    null = true
    type = sql("uuid[]")
  }
  primary_key {
    columns = [column.id]
  }
}
