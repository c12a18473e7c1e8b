import CNCCL
import Dispatch
import FakeCUDA
import LigerCollectives
import LigerRuntime
import TestSupport
import Testing
import Tile

/// NCCL as it may be found.
@Suite struct NCCLTests {
    @Test func isMissing() {
        let error = #expect(throws: RuntimeError.self) { try NCCL.open(["/nowhere/libnccl.so.2"], as: .nccl) }
        let text = error.map(String.init(describing:)) ?? ""
        #expect(
            text.contains("/nowhere/libnccl.so.2") && text.contains("pip install nvidia-nccl-cu13"), "\(text)"
        )
    }

    @Test func lacksFunctions() {
        let error = #expect(throws: RuntimeError.self) {
            try NCCL(path: "some.so") { $0 == "ncclSend" ? nil : host_nccl_symbol($0) }
        }
        #expect(error.map(String.init(describing:))?.contains("no function ncclSend") == true)
    }

    @Test func isTooOld() {
        let old: @convention(c) (UnsafeMutablePointer<Int32>) -> Int32 = { version in
            version.pointee = 21_704
            return 0
        }
        let error = #expect(throws: RuntimeError.self) {
            try NCCL(path: "some.so") {
                $0 == "ncclGetVersion"
                    ? unsafeBitCast(old, to: UnsafeMutableRawPointer.self) : host_nccl_symbol($0)
            }
        }
        #expect(
            error.map(String.init(describing:))?.contains("some.so is NCCL 2.17.4; 2.18.0 or newer") == true)
    }

    /// A GPU, whose kernels do nothing here, exchanges with a rank on the processor: bytes go both ways, one kernel adds
    /// up each array's share, and nothing waits for the GPU.
    @Test(.onFakeGPU) func exchangesInAStream() throws {
        let device = try makeFakeDevice()
        let library = try NCCL(path: "fake") { fake_cuda_symbol($0) }
        let identifier = try Communicator.makeIdentifier(for: .cpu)
        let other = DispatchGroup()
        DispatchQueue(label: "rank 1").async(group: other) {
            #expect(throws: Never.self) {
                let communicator = try Communicator(rank: 1, of: 2, identifier: identifier, device: .cpu)
                let arrays = try [NDArray([1, 2, 3, 4, 5, 6, 7, 8]), NDArray([9])]
                try communicator.sum(arrays)
                // Its own share is added up; the GPU's comes as it was.
                #expect(try arrays[0].hostValues() == [10, 20, 30, 40, 55, 66, 77, 88])
                #expect(try arrays[1].hostValues() == [90])
            }
        }
        let communicator = try Communicator(
            rank: 0, of: 2, identifier: identifier, device: device, library: library)
        let arrays = try [
            NDArray([10, 20, 30, 40, 50, 60, 70, 80], device: device), NDArray([90], device: device),
        ]
        let (waits, launches) = (fake.pointee.synchronizations, fake.pointee.launches)
        try communicator.sum(arrays)
        #expect(fake.pointee.synchronizations == waits && fake.pointee.launches == launches + 2)
        other.wait()
        #expect(try arrays[0].hostValues() == [10, 20, 30, 40, 55, 66, 77, 88])
        #expect(try arrays[1].hostValues() == [90])
        #expect(communicator.description == "NCCL 2.27.3")
    }
}
