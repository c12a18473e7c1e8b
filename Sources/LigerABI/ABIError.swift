import CLigerABI
import LigerRuntime
import Tile

/// A name that does not exist, or a device that cannot be used.
struct ABIError: Error, CustomStringConvertible {
    let status: liger_status
    let description: String
}

/// Runs `body` and turns what it throws into a status and the thread's last message.
func reporting(_ body: () throws -> Void) -> liger_status {
    do {
        try body()
        return LIGER_OK
    } catch {
        liger_internal_keep_message("\(error)")
        return status(of: error)
    }
}

/// The one place where errors become statuses.
private func status(of error: any Error) -> liger_status {
    switch error {
    case let error as ABIError: error.status
    case let error as RuntimeError:
        switch error.kind {
        case .argument: LIGER_INVALID_ARGUMENT
        case .memory: LIGER_OUT_OF_MEMORY
        case .device: LIGER_NO_DEVICE
        case .library: LIGER_NO_LIBRARY
        }
    case let error as GPUError:
        error.isOutOfMemory ? LIGER_OUT_OF_MEMORY : LIGER_DEVICE_FAILED
    case is LaunchError: LIGER_CHECK_FAILED
    case is InvalidThreadCount: LIGER_INVALID_ARGUMENT
    case is BLASError: LIGER_NO_LIBRARY
    case is RecordedCall.AddressError: LIGER_MISALIGNED
    default: LIGER_INTERNAL
    }
}
