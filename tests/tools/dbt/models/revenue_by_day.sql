select toDate(timestamp) as day, count() as orders, sum(num(price)) as revenue
from {{ source('shop', 'order_completed') }}
group by day
