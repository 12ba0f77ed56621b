-- Tables with typed columns, as somebody makes them by hand for the questions of docs/cookbook.md. `views` is the database
-- of the typed views, from which they have their rows.
CREATE DATABASE typed;

CREATE TABLE typed.tracks ENGINE = MergeTree ORDER BY (event, toDate(timestamp), user_id) AS
SELECT id, user_id, timestamp, toLowCardinality(event) AS event, context_app_name, context_app_version FROM views.tracks;

CREATE TABLE typed.visit_started ENGINE = MergeTree ORDER BY (toDate(timestamp), user_id) AS
SELECT id, user_id, timestamp, platform, utm_source, utm_medium FROM views.visit_started;

CREATE TABLE typed.signed_up ENGINE = MergeTree ORDER BY (toDate(timestamp), user_id) AS
SELECT id, user_id, timestamp, method FROM views.signed_up;

CREATE TABLE typed.products_searched ENGINE = MergeTree ORDER BY (toDate(timestamp), user_id) AS
SELECT id, user_id, timestamp, query, results FROM views.products_searched;

CREATE TABLE typed.product_viewed ENGINE = MergeTree ORDER BY (toDate(timestamp), user_id) AS
SELECT id, user_id, timestamp, sku, category, price, position FROM views.product_viewed;

CREATE TABLE typed.product_added ENGINE = MergeTree ORDER BY (toDate(timestamp), user_id) AS
SELECT id, user_id, timestamp, sku, category, price, quantity FROM views.product_added;

CREATE TABLE typed.checkout_started ENGINE = MergeTree ORDER BY (toDate(timestamp), user_id) AS
SELECT id, user_id, timestamp, products FROM views.checkout_started;

CREATE TABLE typed.order_completed ENGINE = MergeTree ORDER BY (toDate(timestamp), user_id) AS
SELECT id, user_id, timestamp, order_id, total, coupon, coupon_code, first, shipping_city, shipping_country, shipping_days,
    JSONExtract(ifNull(products, ''), 'Array(Tuple(sku String, price Float64, quantity Int64))') AS products
FROM views.order_completed;

CREATE TABLE typed.order_refunded ENGINE = MergeTree ORDER BY (toDate(timestamp), user_id) AS
SELECT id, user_id, timestamp, order_id, total FROM views.order_refunded;

CREATE TABLE typed.subscription_changed ENGINE = MergeTree ORDER BY (toDate(timestamp), user_id) AS
SELECT id, user_id, timestamp, `from`, to FROM views.subscription_changed;

CREATE TABLE typed.identifies ENGINE = MergeTree ORDER BY (user_id, timestamp) AS
SELECT id, user_id, timestamp, plan FROM views.identifies;

CREATE TABLE typed.users ENGINE = MergeTree ORDER BY id AS
SELECT id, plan, country, age, interests FROM views.users;

CREATE VIEW typed.person_history AS
SELECT user_id, 'plan' AS trait, plan AS value, timestamp AS valid_from,
    lead(toNullable(timestamp)) OVER (PARTITION BY user_id ORDER BY timestamp) AS valid_to
FROM typed.identifies
WHERE plan IS NOT NULL;

CREATE VIEW typed.events_with_person AS
SELECT tracks.id AS id, tracks.user_id AS user_id, tracks.timestamp AS timestamp, tracks.event AS event,
    plans.plan AS person_plan
FROM typed.tracks AS tracks
ASOF LEFT JOIN typed.identifies AS plans ON plans.user_id = tracks.user_id AND plans.timestamp <= tracks.timestamp
