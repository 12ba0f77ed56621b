-- Functions that read a property of any type as one type, NULL where it has none. They belong to the server, not to a
-- database: no backup of the database has them, so every `sequence tables migrate` checks and restores them.
--
-- A property has the type Dynamic: each row has its own type. Aggregates, IN, JOIN and ORDER BY need one type.
-- CAST(x, 'Dynamic') lets the same body take columns with a type. The branches of multiIf run only for the rows that
-- reach them, so a number is not made into text and parsed again. `make bench ONLY=functions` compares the bodies.
-- To change a body, write a new file: `tables migrate` replaces a body of an older file, and no other.

-- A number, or text that is one. Doubles: integers beyond 2^53 lose digits. `true` is no number.
CREATE FUNCTION IF NOT EXISTS num AS x -> multiIf(
    isNotNull(dynamicElement(CAST(x, 'Dynamic'), 'Float64')), dynamicElement(CAST(x, 'Dynamic'), 'Float64'),
    isNotNull(dynamicElement(CAST(x, 'Dynamic'), 'Int64')), toFloat64(dynamicElement(CAST(x, 'Dynamic'), 'Int64')),
    isNull(x), NULL,
    isFinite(toFloat64OrNull(toString(x))), toFloat64OrNull(toString(x)),
    NULL);

-- Text; of a number or a boolean its JSON text, and of an array too. toString(x) is empty where x is NULL.
CREATE FUNCTION IF NOT EXISTS str AS x -> multiIf(
    isNotNull(dynamicElement(CAST(x, 'Dynamic'), 'String')), dynamicElement(CAST(x, 'Dynamic'), 'String'),
    isNull(x), NULL,
    isNotNull(dynamicElement(CAST(x, 'Dynamic'), 'Float64')), toString(dynamicElement(CAST(x, 'Dynamic'), 'Float64')),
    isNotNull(dynamicElement(CAST(x, 'Dynamic'), 'Int64')), toString(dynamicElement(CAST(x, 'Dynamic'), 'Int64')),
    startsWith(dynamicType(CAST(x, 'Dynamic')), 'Array'), toJSONString(x),
    CAST(x, 'Nullable(String)'));

-- A boolean, 1 or 0, or text that is one of them.
CREATE FUNCTION IF NOT EXISTS bool AS x -> multiIf(
    isNotNull(dynamicElement(CAST(x, 'Dynamic'), 'Bool')), dynamicElement(CAST(x, 'Dynamic'), 'Bool'),
    lower(toString(x)) IN ('true', '1'), true,
    lower(toString(x)) IN ('false', '0'), false,
    NULL);

-- A time: text in the form of ISO 8601, a date as well, in UTC without an offset; or seconds or milliseconds since 1970,
-- as a number or text. The pattern keeps out what the parser would guess: `30` and `Jan 5` are days of this year to it.
-- The two ranges of numbers are 1973 to 2286 each, so a price is no time.
CREATE FUNCTION IF NOT EXISTS at AS x -> multiIf(
    match(
        toString(x),
        '^(19|2[0-2])[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]+)?)?( ?(Z|UTC|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?))?)?$'
    ), parseDateTime64BestEffortOrNull(toString(x), 6, 'UTC'),
    toDecimal128OrNull(toString(x), 9) BETWEEN 100000000 AND 9999999999,
        accurateCastOrNull(toDecimal128OrNull(toString(x), 9), 'DateTime64(6, ''UTC'')'),
    toDecimal128OrNull(toString(x), 9) BETWEEN 100000000000 AND 9999999999999,
        accurateCastOrNull(toDecimal128OrNull(toString(x), 9) / 1000, 'DateTime64(6, ''UTC'')'),
    NULL);
