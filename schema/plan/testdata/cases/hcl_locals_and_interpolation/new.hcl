schema "public" {
}

locals {
  prefix = "app"
  sizes  = [10, 20]
}

table "t" {
  schema = schema.public
  column "a" {
    null    = true
    type    = varchar(10)
    comment = "${local.prefix}: a"
  }
}
