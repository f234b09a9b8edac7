-- Indexes of the audit, for who asks what somebody did, or what was done to something.

CREATE INDEX audit_actor ON audit (actor, audit_id);
CREATE INDEX audit_name ON audit ((detail ->> 'name'), audit_id);
CREATE INDEX audit_action ON audit (action, audit_id);
CREATE INDEX audit_object ON audit (object, audit_id);
