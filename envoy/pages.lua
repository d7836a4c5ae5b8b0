-- Decides which web pages may call, and adds the CORS headers. Only requests with an origin come here.
-- https://fetch.spec.whatwg.org/#http-cors-protocol An error in the first function would let every page call.

-- All methods: a wrong one is refused with an error that the page can read.
local METHODS = "DELETE, GET, HEAD, PATCH, POST, PUT"
local EXPOSED = "grpc-message, grpc-status, grpc-status-details-bin, retry-after, x-request-id"
local MAX_AGE_SECONDS = "600"

-- The canonical form of an origin: in lower case, without the scheme's default port.
local function canonical(origin)
  local lower = origin:lower()
  return lower:match("^(http://.*):80$") or lower:match("^(https://.*):443$") or lower
end

-- The origin for the response: the page's own if it is allowed, `*` if all are; nil if it is not.
local function allowed_origin(settings, origin)
  local wanted, all = canonical(origin), nil
  for _, named in ipairs(settings:get("origins") or {}) do
    if named == wanted then return origin end
    if named == "*" then all = named end
  end
  return all
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local origin = headers:get("origin")
  local settings = handle:virtualHost():metadata()
  local allowed = allowed_origin(settings, origin)
  if allowed == nil then
    if canonical(origin) == canonical("http://" .. (headers:get(":authority") or "")) then return end
    return handle:respond({ [":status"] = "403" }, "")
  end
  handle:streamInfo():dynamicMetadata():set("pages", "allowed_origin", allowed)
  if headers:get(":method") == "OPTIONS" and headers:get("access-control-request-method") ~= nil then
    handle:respond({
      [":status"] = "200",
      ["access-control-allow-methods"] = METHODS,
      ["access-control-allow-headers"] = settings:get("headers"),
      ["access-control-max-age"] = MAX_AGE_SECONDS,
    }, "")
  end
end

function envoy_on_response(handle)
  local found = handle:streamInfo():dynamicMetadata():get("pages")
  if found == nil then return end
  local headers, allowed = handle:headers(), found["allowed_origin"]
  headers:replace("access-control-allow-origin", allowed)
  -- Credentials that a browser adds, such as cookies or a client certificate, are for named origins only.
  if allowed ~= "*" then headers:replace("access-control-allow-credentials", "true") end
  headers:replace("access-control-expose-headers", EXPOSED)
  local vary = headers:get("vary")
  headers:replace("vary", vary and vary .. ", origin" or "origin")
end
