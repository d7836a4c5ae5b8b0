-- Adds details to errors of a worker's gRPC library, for calls that the service has not seen: a message that is not --
-- compressed as declared, one above the library's limit, a call past its deadline, a stopping server.

-- By status: code, reason, message. INTERNAL is the sender's mistake here: a defect of the service has details.
local UNEXPLAINED = {
  ["4"] = { 4, "OUT_OF_TIME", "the call ran out of time" },
  ["8"] = { 8, "REQUEST_TOO_LARGE", "the request is too large" },
  ["13"] = { 3, "MALFORMED_REQUEST", "the message is not framed or compressed as its headers say" },
  ["14"] = { 14, "NO_SERVER", "no server can take the call now; try again" },
}

-- For texts below 128 bytes. https://protobuf.dev/programming-guides/encoding/
local function field(number, text)
  return string.char(number * 8 + 2, #text) .. text
end

local function detail(name, message)
  return field(3, field(1, "type.googleapis.com/google.rpc." .. name) .. field(2, message))
end

-- A google.rpc.Status.
local function status_of(code, reason, message)
  local status = string.char(8, code) .. field(2, message)
    .. detail("ErrorInfo", field(1, reason) .. field(2, "conversations.v1"))
  if code ~= 14 then return status end
  return status .. detail("RetryInfo", field(1, string.char(8, 1)))
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local error = UNEXPLAINED[headers:get("grpc-status")]
  if error == nil or headers:get("grpc-status-details-bin") ~= nil then return end
  local code, reason, message = error[1], error[2], error[3]
  headers:replace("grpc-status", tostring(code))
  headers:replace("grpc-message", message)
  -- gRPC's base64 has no padding.
  headers:add("grpc-status-details-bin", (handle:base64Escape(status_of(code, reason, message)):gsub("=", "")))
end
