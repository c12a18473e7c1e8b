import FakeCUDA
import LigerKernels
import LigerRuntime
import TestSupport
import Testing
import Tile

/// Launches of products on a GPU whose copy engine checks what it is asked for.
@Suite(.onFakeGPU) struct GradientProductLaunchTests {
    /// A single row lies at no distance from another, so its length needs no multiple of 16 bytes.
    @Test(arguments: [1, 7, 8, 172, 1001]) func singleRowsMayHaveAnyLength(columns: Int) throws {
        let device = try makeFakeDevice()
        func array(_ shape: Int...) throws -> NDArray {
            try NDArray.zeros(shape, dtype: .bf16, device: device)
        }
        let g = try array(1, columns), x = try array(1, 16), before = fake.pointee.launches
        try GradientProducts.weight(g, x, into: array(columns, 16), accumulate: false)
        #expect(fake.pointee.launches > before)
    }

    /// Rows at distances that the copy engine does not take are refused with their distance.
    @Test func refusesRowsOffSixteenBytes() throws {
        let device = try makeFakeDevice()
        let g = try NDArray.zeros([2, 172], dtype: .bf16, device: device)
        let x = try NDArray.zeros([2, 16], dtype: .bf16, device: device)
        let dw = try NDArray.zeros([172, 16], dtype: .bf16, device: device)
        #expect {
            try GradientProducts.weight(g, x, into: dw, accumulate: false)
        } throws: { "\($0)".contains("multiples of 16 bytes") }
    }
}
