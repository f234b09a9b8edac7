-- name: newest
-- One more than is shown: is it there, so are others behind it.
SELECT audit_id, at, actor, coalesce(detail ->> 'name', ''), action, object, coalesce(detail, '{}')
FROM audit WHERE true /* which */ ORDER BY audit_id DESC LIMIT %(limit)s + 1
