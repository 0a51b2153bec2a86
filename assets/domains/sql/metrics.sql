-- A domain's sums over all countries in the report month, and in the month before it.
WITH month AS (
    SELECT domain, country, date >= %(start)s AS reported,
        sum(transactionrevenue::numeric) AS revenue,
        sum(transactions)::bigint AS transactions,
        sum(sessions)::bigint AS sessions
    FROM domain_metrics
    WHERE date >= %(before)s AND date < %(end)s AND domain <> ''
    GROUP BY domain, country, date >= %(start)s
),
summed AS (
    SELECT domain, reported,
        coalesce(sum(revenue), 0) AS revenue,
        coalesce(sum(transactions), 0)::bigint AS transactions,
        coalesce(sum(sessions), 0)::bigint AS sessions,
        -- Ties go to the busier country, then to the first by name.
        (array_agg(country ORDER BY revenue DESC NULLS LAST, sessions DESC NULLS LAST, country)
            FILTER (WHERE country IS NOT NULL))[1] AS country
    FROM month GROUP BY domain, reported
),
rated AS (
    SELECT *, round(transactions * 100::numeric / nullif(sessions, 0), 2) AS conv_rate,
        round(revenue / nullif(transactions, 0), 2) AS aov
    FROM summed
)
SELECT %(start)s::date AS month, r.domain, round(r.revenue, 2) AS revenue, r.transactions,
    r.sessions, r.conv_rate, r.aov, r.country AS strongest_country, round(b.revenue, 2) AS revenue_before,
    b.transactions AS transactions_before, b.sessions AS sessions_before,
    b.conv_rate AS conv_rate_before
FROM rated r LEFT JOIN rated b ON b.domain = r.domain AND NOT b.reported
WHERE r.reported
ORDER BY r.revenue DESC, r.domain
