-- What the other files compute with; dropped at the end. Equal arguments give equal values, always.

CREATE FUNCTION pg_temp.days_ago(days double precision) RETURNS timestamptz LANGUAGE sql STABLE
RETURN current_setting('registry_sample.now')::timestamptz - days * interval '1 day';

CREATE FUNCTION pg_temp.months_ago(months integer) RETURNS timestamptz LANGUAGE sql STABLE
RETURN current_setting('registry_sample.now')::timestamptz - months * interval '1 month';

CREATE FUNCTION pg_temp.requests() RETURNS bigint LANGUAGE sql STABLE
RETURN current_setting('registry_sample.requests')::bigint;

-- Evenly spread over [0, 1).
CREATE FUNCTION pg_temp.rnd(n bigint, seed bigint) RETURNS double precision LANGUAGE sql IMMUTABLE
RETURN (hashint8extended(n, seed) & 9007199254740991)::double precision / 9007199254740992;

-- Normally distributed, mean 0, deviation 1.
CREATE FUNCTION pg_temp.gauss(n bigint, seed bigint) RETURNS double precision LANGUAGE sql IMMUTABLE
RETURN sqrt(-2 * ln(1 - (hashint8extended(n, seed) & 9007199254740991)::double precision / 9007199254740992))
       * cos(2 * pi() * (hashint8extended(n, seed + 1000) & 9007199254740991)::double precision / 9007199254740992);

CREATE FUNCTION pg_temp.checksum(n bigint) RETURNS text LANGUAGE sql IMMUTABLE
RETURN encode(sha256(convert_to('sample ' || n, 'UTF8')), 'hex');

-- Training loss of a run at an epoch: falls from about 2, levels off, and is never smooth.
CREATE FUNCTION pg_temp.loss(run integer, epoch integer, planned integer, quality double precision) RETURNS double precision LANGUAGE sql IMMUTABLE
RETURN (1 - quality) + 2 * exp(-5.0 * epoch / planned)
       + 0.02 * ((hashint8extended(run::bigint * 10000 + epoch, 81) & 9007199254740991)::double precision / 9007199254740992 - 0.5);
