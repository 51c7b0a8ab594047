DROP FUNCTION pg_temp.days_ago(double precision), pg_temp.months_ago(integer), pg_temp.requests(),
    pg_temp.rnd(bigint, bigint), pg_temp.gauss(bigint, bigint), pg_temp.checksum(bigint),
    pg_temp.loss(integer, integer, integer, double precision);
