SELECT count(*) FROM (
  (SELECT 1 FROM jobs WHERE status = 'queued' AND due_at IS NOT NULL AND due_at <= now() AND crashes = 0 LIMIT 100000)
  UNION ALL
  (SELECT 1 FROM jobs WHERE status = 'queued' AND due_at <= now() AND crashes > 0 LIMIT 100000)
  UNION ALL
  (SELECT 1 FROM jobs WHERE status = 'processing' LIMIT 100000)
  UNION ALL
  (SELECT 1 FROM outputs WHERE status = 'queued' AND due_at IS NOT NULL AND due_at <= now() AND crashes = 0 LIMIT 100000)
  UNION ALL
  (SELECT 1 FROM outputs WHERE status = 'processing' LIMIT 100000)
) AS work
