-- Rows for the comparison `cookbook`, in the shape of the sample of `sequence demo`, at any size.
-- Half of the events are those of the shop. The other half are 40 events with 15 properties each, of 600 names in all, as
-- the tables of a company with many programs have them. A user has 5 visits of 7 events, and as many other events.
-- :events and :users are numbers. Blocks have the size of the sink's.
INSERT INTO events
    (project_id, event, user_id, message_id, timestamp, received_at, properties, context, _log, _origin)
WITH
    cityHash64(number) AS h,
    number % :users AS user,
    cityHash64(user) AS of_user,
    intDiv(number, :users) AS nth,
    nth % 2 = 1 AS is_other,
    intDiv(nth, 2) % 7 AS step,
    intDiv(nth, 14) AS visit,
    h % 40 AS kind,
    multiIf(
        is_other, concat('Other ', toString(kind)),
        step = 0, 'Visit Started',
        step = 1, if(visit = 0, 'Signed Up', 'Products Searched'),
        step IN (2, 3), 'Product Viewed',
        step = 4, 'Product Added',
        step = 5, 'Checkout Started',
        visit > 0 AND h % 20 = 0, 'Order Refunded',
        h % 20 = 1, 'Subscription Changed',
        'Order Completed') AS name,
    toDateTime64('2026-04-02 00:00:00', 6, 'UTC') + toIntervalSecond(
        (of_user + visit * (1 + of_user % 9) * 86400 + step * 40 + h % 30 + is_other * 15) % (90 * 86400)) AS time,
    concat('{"sku":"C-', toString(h % 10), '","category":"coffee","price":', toString(5 + h % 90), '.5,') AS product,
    ['DE', 'AT', 'CH', 'FR'][h % 4 + 1] AS country,
    toString(h % 900 / 10 + 3) AS total
SELECT 'demo', name, toString(user), toString(number), time, time + INTERVAL 1 SECOND,
    multiIf(
        is_other, concat('{', arrayStringConcat(
            arrayMap(i -> concat('"name_', toString(kind * 15 + i), '":', toString((h + i) % 1000)), range(15)), ','), '}'),
        step = 0, concat('{"platform":"web"', if(h % 5 < 3, concat(
            ',"utm.source":"', ['google', 'newsletter', 'instagram'][h % 3 + 1], '","utm.medium":"cpc"'), ''), '}'),
        name = 'Signed Up', '{"method":"email"}',
        name = 'Products Searched', concat(
            '{"query":"', ['espresso', 'decaf', 'tea'][h % 3 + 1], '","results":', toString(h % 9), '}'),
        name = 'Product Viewed', concat(product, '"position":', toString(h % 12 + 1), '}'),
        name = 'Product Added', concat(product, '"quantity":', toString(h % 3 + 1), '}'),
        name = 'Checkout Started', '{"products":1}',
        name = 'Order Refunded', concat('{"order_id":', toString(number - 14 * :users), ',"total":9.5}'),
        name = 'Subscription Changed', '{"from":"free","to":"pro"}',
        concat('{"order_id":', toString(number), ',"total":', if(h % 20 = 3, concat('"', total, '"'), total),
            multiIf(h % 7 = 0, ',"coupon":"SPRING"', h % 50 = 2, ',"couponCode":"SPRING"', ''),
            ',"first":', if(visit = 0, 'true', 'false'),
            ',"products":[{"sku":"C-', toString(h % 10), '","price":9.5,"quantity":', toString(h % 3 + 1),
            '}],"shipping":{"city":"Berlin","country":"', country, '","days":', toString(h % 5 + 1), '}}')),
    concat('{"app":{"name":"shop-web","version":"', ['5.2.0', '4.9.1'][of_user % 2 + 1],
        '"},"library":{"name":"analytics.js"},"locale":"de-DE"}'),
    1, number
FROM numbers(:events)
SETTINGS json_type_escape_dots_in_keys = 1, max_insert_block_size = 200000, min_insert_block_size_rows = 200000;

-- One identify of each user on the first day, and one more of a third of the users, with another plan.
INSERT INTO identifies (project_id, user_id, message_id, timestamp, received_at, traits, _log, _origin)
WITH
    number % :users AS user,
    cityHash64(user) AS of_user,
    number >= :users AS is_later,
    toDateTime64('2026-04-02 00:00:00', 6, 'UTC') + toIntervalSecond(if(is_later, of_user % (90 * 86400), 0)) AS time
SELECT 'demo', toString(user), concat('i', toString(number)), time, time,
    concat('{"plan":"', if(is_later, 'pro', 'free'), '","country":"', ['DE', 'AT', 'CH', 'FR'][of_user % 4 + 1],
        '","age":', toString(18 + of_user % 50), ',"interests":["', ['espresso', 'tea'][of_user % 2 + 1], '"]}'),
    1, :events + number
FROM numbers(:users + intDiv(:users, 3));

INSERT INTO person_states (project_id, user_id, traits, first_seen, last_seen, _log, _origin)
WITH cityHash64(number) AS of_user
SELECT 'demo', toString(number),
    concat('{"plan":"', if(number < intDiv(:users, 3), 'pro', 'free'),
        '","country":"', ['DE', 'AT', 'CH', 'FR'][of_user % 4 + 1], '","age":', toString(18 + of_user % 50),
        ',"interests":["', ['espresso', 'tea'][of_user % 2 + 1], '"]}'),
    '2026-04-02 00:00:00', '2026-06-30 00:00:00', 1, number
FROM numbers(:users)
