{{ config(materialized='incremental', unique_key='id', order_by='id') }}
select id, received_at, timestamp, user_id, num(price) as price from {{ source('shop', 'order_completed') }}
{% if is_incremental() %} where received_at > (select max(received_at) from {{ this }}) {% endif %}
