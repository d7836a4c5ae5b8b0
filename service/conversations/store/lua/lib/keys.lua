-- Key names. All keys of a partition have its hash tag, such as "{0}", so that they share a slot of a cluster.
local keys = {}

function keys.conversation(p, id) return "conversation:" .. p .. ":" .. id end
function keys.early(p, id) return "early:" .. p .. ":" .. id end
function keys.order(p, id) return "order:" .. p .. ":" .. id end
function keys.unread(p, id) return "unread:" .. p .. ":" .. id end
function keys.message(p, id) return "message:" .. p .. ":" .. id end
function keys.channel(p, id) return "channel:" .. p .. ":" .. id end
function keys.tag(p, id) return "tag:" .. p .. ":" .. id end
function keys.column(p, name, block) return "column:" .. p .. ":" .. block .. ":" .. name end
function keys.long_value(p, name, row) return "long_value:" .. p .. ":" .. row .. ":" .. name end
function keys.columns(p) return "columns:" .. p end
function keys.known(p, name) return "known:" .. p .. ":" .. VERSION .. ":" .. name end
function keys.recent(p) return "recent:" .. p end
function keys.changes(p) return "changes:" .. p end
function keys.counts(p) return "counts:" .. p end
function keys.channels(p) return "channels:" .. p end
function keys.tags(p) return "tags:" .. p end
function keys.deleted_tags(p) return "deleted_tags:" .. p end
function keys.waiting(p) return "waiting:" .. p end
function keys.waiting_messages(p) return "waiting_messages:" .. p end
function keys.index(p) return "conversations:" .. p end

return keys
